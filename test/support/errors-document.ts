import { existsSync } from 'node:fs';
import { format } from 'prettier';
import {
  INPUT_RULES,
  loadTopology,
  rules,
  showKernel,
  type Diagnostic,
  type InputRule,
  type KernelVersion,
  type Rule,
} from '../../src/topology/index.ts';
import { readHeader } from './invalid.ts';

// docs/reference/errors.md is written from the rules and from what they say about their bad
// topologies, so that it cannot be out of date: `npx vitest run -u` writes it anew.

/** The catalogue: mistakes that firmware can make, most of which Linux answers with silence. */
const CATALOGUE: readonly string[] = [
  'Rows of an iommu-map overlap',
  'Ranges of a VIOT overlap',
  'A PCI vIOMMU has no node in the device tree, or one at another slot',
  'A vIOMMU is inside its own iommu-map',
  'VIOT names a vIOMMU where there is none',
  'A phandle that no node has',
  'A wrong number of cells',
  '#iommu-cells missing or not 1',
  'iommu-map-mask drops bits of a row’s base',
  'Two requesters with one endpoint ID',
  'An endpoint ID that the device does not know',
  'An endpoint that no description covers',
  'The MSI doorbell is not reserved',
  'The MSI region does not hold the doorbell',
  'msi-map missing or partial',
  'msi-map gives other DeviceIDs than the ITS sees',
  'The granule is larger than the guest’s page',
  'dma-ranges and the input range share no address',
  'The input range is too small',
  'A direct region, on a kernel that cannot take it',
  'iommu-addresses: wrong cells, no back-link, another physical range',
  'A region is not aligned to the granule',
  'A region lies over RAM',
  'Regions overlap',
  'A range ends before it begins',
  'A map or range is for buses of another host',
  'A bypassing endpoint is claimed by a vIOMMU',
  'More than one IOMMU claims an endpoint',
  'The node of the vIOMMU is disabled',
  'The node of the vIOMMU is below another bus than its own',
  'An endpoint behind a PCIe-to-PCI bridge',
  'Damaged VIOT nodes: lengths, counts, offsets',
  'A VIOT too large for its 16-bit fields',
  'IORT id_count one too large',
  'A legacy virtio-mmio vIOMMU',
  'A device without VIRTIO_F_ACCESS_PLATFORM behind a vIOMMU',
  'boot-bypass off, and firmware that does DMA',
  'A device tree that is too large, or says less than it seems to',
  'linux,pci-domain missing, or not the segment',
  'The name of the vIOMMU’s node',
];

/** Rules of the other list that see a mistake of the catalogue before a kernel could. */
const EARLIER: Readonly<Record<number, readonly string[]>> = {
  10: ['claim-conflict'],
  11: ['endpoint-id-range'],
  25: ['bad-range'],
  26: ['host-overlap', 'bus-outside-host'],
};

const KERNELS: readonly KernelVersion[] = [
  { major: 6, minor: 12 },
  { major: 7, minor: 3 },
];

/** The whole document, as prettier would leave it. */
export async function errorsDocument(): Promise<string> {
  const text = [
    INTRODUCTION,
    '## The catalogue',
    catalogue(),
    '## What descriptions can have wrong',
    'Found in a topology and, by the same rules, in any `.dtb` or ACPI table.',
    ...rules.map(section),
    '## What a topology can have wrong',
    'Found while a topology is read and resolved, before anything is described.',
    ...INPUT_RULES.map(inputSection),
  ].join('\n\n');
  return format(text, { parser: 'markdown' });
}

const INTRODUCTION = `# Errors and warnings

Every diagnostic has a rule, and every rule a section here: what must hold, what a guest does when it does not, the cure, and the smallest topology that has the mistake (\`topologies/invalid/<rule>.yaml\`).

An _error_ is something that makes the guest differ from the topology: a device without translation, without interrupts, a hang, an oops. A _warning_ works, but not by what the specifications say, or not with every guest. Where kernels differ, \`--kernel-version\` (or \`guest: { kernel: … }\`) decides; 6.12 is assumed otherwise. A rule lists at most 100 findings.

This file is written from the rules and from what they say about those topologies (\`test/support/errors-document.ts\`).

QEMU's own firmware has known quirks, which are warnings: an \`msi-map\` to a GICv2m frame without \`#msi-cells\` (\`msi-cells\`), a zero-length \`iommu-map\` row when the vIOMMU is at ff:1f.7 (\`map-row-empty\`), overlapping VIOT ranges with equal IDs when root ports reach a pxb's bus number (\`viot-range-overlap\`), and, in IORT beside a bypassing pxb, an \`id_count\` one too large (\`iort-overlap\`).`;

function catalogue(): string {
  const lines = CATALOGUE.map((mistake, index) => {
    const number = index + 1;
    const ids = rules.filter((it) => it.catalogue?.includes(number)).map((it) => it.id);
    const all = [...ids, ...(EARLIER[number] ?? [])].map((id) => `[${id}](#${id})`);
    return `| ${number} | ${mistake} | ${all.join(', ')} |`;
  });
  const beyond = rules
    .filter((it) => it.catalogue === undefined)
    .map((it) => `[${it.id}](#${it.id})`);
  return `${['| | mistake | rules |', '|---|---|---|', ...lines].join('\n')}\n\nBeyond these forty: ${beyond.join(', ')}.`;
}

function section(rule: Rule): string {
  const file = `topologies/invalid/${rule.id}.yaml`;
  const numbers = rule.catalogue === undefined ? '' : `, catalogue ${rule.catalogue.join(', ')}`;
  const example = existsSync(file)
    ? exampleOf(rule, file)
    : 'Example: none. A topology cannot contain this; it is found in firmware that was read.';
  return [
    `### ${rule.id}`,
    `_${rule.severity}${numbers}_. ${escape(rule.summary)}`,
    `Effect: ${escape(rule.effect)}`,
    `Cure: ${escape(rule.cure)}`,
    example,
  ].join('\n\n');
}

/** The bad topology, and what is said about it for each kernel. */
function exampleOf({ id, effect }: Rule, file: string): string {
  const { text } = readHeader(file);
  const said = KERNELS.map((kernel) => [kernel, own(id, file, kernel)] as const);
  const [first, second] = said.map(([, it]) => it);
  const lines = [`Example: [${file}](../../${file}). ${escape(text)}`];
  lines.push(`\`\`\`text\n${first?.severity ?? ''}: ${first?.message ?? ''}\n\`\`\``);
  if (second !== undefined && plain(first) === plain(second)) {
    if (plain(first) !== effect) lines.push(escape(plain(first)));
  } else {
    for (const [kernel, it] of said) {
      const told = it === undefined ? 'nothing to say: it works.' : (it.effect ?? '');
      lines.push(`- With ${showKernel(kernel)}: ${escape(told)}`);
    }
  }
  return lines.join('\n\n');
}

/** The effect without the kernel's version, to see whether only that differs. */
function plain(it: Diagnostic | undefined): string {
  return (it?.effect ?? '').replaceAll(/Linux \d+\.\d+/g, 'Linux');
}

function own(id: string, file: string, kernel: KernelVersion): Diagnostic | undefined {
  return loadTopology(file, { kernel }).diagnostics.find((it) => it.rule === id);
}

function inputSection(rule: InputRule): string {
  const file = `topologies/invalid/${rule.id}.yaml`;
  return [
    `### ${rule.id}`,
    `_${rule.severity}_. ${escape(sentence(rule.summary))}`,
    `Effect: ${escape(sentence(rule.effect))}`,
    `Cure: ${escape(sentence(rule.cure))}`,
    ...(existsSync(file) ? [`Example: [${file}](../../${file})`] : []),
  ].join('\n\n');
}

function sentence(text: string): string {
  const full = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(full) ? full : `${full}.`;
}

/** Text for Markdown; what stands in backticks is left alone. */
function escape(text: string): string {
  return text
    .split(/(`[^`]*`)/)
    .map((part, index) => (index % 2 === 1 ? part : part.replaceAll(/[\\<*[\]]/g, '\\$&')))
    .join('');
}
