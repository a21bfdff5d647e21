import type { InputRule } from '../input-rule.ts';

export const UNKNOWN_KEY: InputRule = {
  id: 'unknown-key',
  summary: 'every key is one of the language',
  severity: 'error',
  effect: 'what the key was meant to say would be lost without a word',
  cure: 'correct or remove the key; docs/reference/topology.md lists them all',
};

export const MISSING_KEY: InputRule = {
  id: 'missing-key',
  summary: 'keys without a default are stated',
  severity: 'error',
  effect: 'nothing is built: there is no value that could be assumed',
  cure: 'state the key',
};

export const WRONG_TYPE: InputRule = {
  id: 'wrong-type',
  summary: 'a map stands where a map is expected, a list where a list, text where text',
  severity: 'error',
  effect: 'nothing is built: the value has no meaning here',
  cure: 'write the value in the form that docs/reference/topology.md shows',
};

export const BAD_NUMBER: InputRule = {
  id: 'bad-number',
  summary: 'numbers are like 4096, 0xffff_f000 or 64K, and in the range of their key',
  severity: 'error',
  effect: 'nothing is built: the value cannot be written to any firmware',
  cure: 'write 4096, 0x1000, 0xffff_f000, 64K or 512M, in the range the message names',
};

export const BAD_RANGE: InputRule = {
  id: 'bad-range',
  summary: 'ranges are like 0x0-0xffff: both ends included, the lower one first',
  severity: 'error',
  effect:
    'nothing is built: QEMU 7.2 takes a reversed reserved region without a word, and Linux then ' +
    'loses the vIOMMU of that endpoint',
  cure: 'write the first and the last value, joined by "-": 0x8000000-0x80fffff',
};

export const BAD_BDF: InputRule = {
  id: 'bad-bdf',
  summary: 'PCI addresses are like 00:03.0 or 0001:02:00.0, hexadecimal',
  severity: 'error',
  effect: 'nothing is built: no function has this address',
  cure: 'write bus:device.function, bus 00-ff, device 00-1f, function 0-7',
};

export const BAD_NAME: InputRule = {
  id: 'bad-name',
  summary: 'ids begin with a letter and have letters, digits, "-" and "_", at most 31',
  severity: 'error',
  effect: 'nothing is built: ids become names of device-tree nodes and QEMU devices',
  cure: 'choose a name like disk0',
};

export const BAD_CHOICE: InputRule = {
  id: 'bad-choice',
  summary: 'a value with a fixed set of choices is one of them',
  severity: 'error',
  effect: 'nothing is built: the value has no meaning here',
  cure: 'write one of the choices that the message lists',
};

export const SCHEMA_RULES: readonly InputRule[] = [
  UNKNOWN_KEY,
  MISSING_KEY,
  WRONG_TYPE,
  BAD_NUMBER,
  BAD_RANGE,
  BAD_BDF,
  BAD_NAME,
  BAD_CHOICE,
];
