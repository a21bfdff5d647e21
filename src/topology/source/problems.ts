import type { InputRule } from '../input-rule.ts';

const NOT_READ = 'nothing is built: the file cannot be read as a topology';

export const FILE_UNREADABLE: InputRule = {
  id: 'file-unreadable',
  summary: 'the topology and what it extends are files that can be read',
  severity: 'error',
  effect: NOT_READ,
  cure: 'name an existing, regular file, or one of the templates that come with viommu-topo',
};

export const NOT_TEXT: InputRule = {
  id: 'not-text',
  summary: 'a topology is UTF-8 text without control characters',
  severity: 'error',
  effect: NOT_READ,
  cure: 'save the file as UTF-8 text; for a device tree or an ACPI table use `viommu-topo inspect`',
};

export const YAML_SYNTAX: InputRule = {
  id: 'yaml-syntax',
  summary: 'a topology is well-formed YAML 1.2 with a map at the top',
  severity: 'error',
  effect: NOT_READ,
  cure: 'correct the YAML; indentation is by spaces, never by tabs',
};

export const YAML_FEATURE: InputRule = {
  id: 'yaml-feature',
  summary: 'of YAML, only maps with text keys, lists, scalars, anchors and aliases are used',
  severity: 'error',
  effect: NOT_READ,
  cure: 'write the value out plainly; to reuse parts of another topology use `extends`',
};

export const YAML_TOO_BIG: InputRule = {
  id: 'yaml-too-big',
  summary: 'a topology is small: in bytes, in depth, and after its aliases are expanded',
  severity: 'error',
  effect: 'nothing is built: reading on could take minutes or all memory',
  cure: 'describe runs of requester IDs by ranges (`at: 00:08.0-00:0f.7`, `buses: 0x10-0x1f`)',
};

export const DUPLICATE_KEY: InputRule = {
  id: 'duplicate-key',
  summary: 'a map has each key once',
  severity: 'error',
  effect: 'one of the two values would be lost without a word',
  cure: 'keep one of the two',
};

export const EXTENDS_CYCLE: InputRule = {
  id: 'extends-cycle',
  summary: '`extends` leads to a file without `extends` in a few steps',
  severity: 'error',
  effect: NOT_READ,
  cure: 'let the chain end in a template: virt-arm64, virt-arm64-gicv2, q35 or emulator',
};

export const SOURCE_RULES: readonly InputRule[] = [
  FILE_UNREADABLE,
  NOT_TEXT,
  YAML_SYNTAX,
  YAML_FEATURE,
  YAML_TOO_BIG,
  DUPLICATE_KEY,
  EXTENDS_CYCLE,
];
