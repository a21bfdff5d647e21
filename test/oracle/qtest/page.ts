import type { Deviation } from './deviations.ts';

const INTRODUCTION = `<!-- Made from test/oracle/qtest by \`npx vitest run --project oracle test/oracle/qtest -u\`. Do not edit. -->

# Where our virtio-iommu differs from QEMU's

\`test/oracle/qtest\` gives the same requests and the same accesses, random from a seed, to our device
and to the virtio-iommu of QEMU 7.2, and compares statuses, used lengths, every byte of the replies,
fault records, and what DMA of QEMU's \`edu\` devices reads and writes. Whatever differs must be in this
list, which the test holds as data: with what recognises it, and what QEMU answers then. A difference
that is not here fails; so does an entry that 200,000 requests did not need.

\`\`\`
QTEST_SEED=7 QTEST_COUNT=200000 npx vitest run --project oracle test/oracle/qtest
\`\`\`

The run of CI is shorter and has seed 1. A failure prints seed and round, which repeat it
(\`QTEST_ROUND\`). Where VIRTIO leaves a choice and an option of ours takes QEMU's, that is set
(\`unmapReserved\`, \`faultsWithoutBuffer\`, \`holdReports\`).

_Rule_ is the sentence of VIRTIO 1.3 in [conformance.md](conformance.md) that decides; where there is
none (\`silent\`), ours is a choice. R numbers are sentences that bind drivers.

<!-- prettier-ignore-start -->

| Deviation | Rule | When | QEMU 7.2 | Ours |
| --- | --- | --- | --- | --- |
`;

/** docs/reference/deviations.md. */
export function deviationsPage(deviations: readonly Deviation[]): string {
  const rows = deviations.map(
    ({ id, rule, stimulus, qemu, ours }) =>
      `| \`${id}\` | ${rule} | ${stimulus} | ${qemu} | ${ours} |`,
  );
  return `${INTRODUCTION}${rows.join('\n')}\n\n<!-- prettier-ignore-end -->\n`;
}
