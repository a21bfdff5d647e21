import type { FirmwareComparison } from '../observation.ts';
import { failed, few, passed, unseen, type Item, type Promised } from '../promise.ts';

export const firmwareIdentical: Promised = {
  id: 'firmware-identical',
  title: "the guest's own copy of the firmware is the one that was passed",
  explanation:
    'The tree under /sys/firmware/fdt, or the tables under /sys/firmware/acpi/tables, are read back from the running guest and compared with what was passed, node by node for trees. What the machine is known to write into a tree (memory, chosen, seeds) is left out of the comparison and named.',
  judge: (_model, { firmware, guest }) =>
    firmware.map((comparison) => judgeOne(comparison, guest.started)),
};

function judgeOne(comparison: FirmwareComparison, started: boolean): Item {
  const { name, outcome, differences, edited } = comparison;
  const parts = { subject: name, expected: 'the bytes that were passed' };
  const aside =
    edited.length === 0 ? '' : `, but for what the machine edits (${edited.join(', ')})`;
  switch (outcome) {
    case 'identical':
      return passed({ ...parts, seen: `identical${aside}` });
    case 'different':
      return failed({
        ...parts,
        seen: `${differences.length} difference${differences.length === 1 ? '' : 's'}${aside}`,
        evidence: few(differences, (text) => ({ source: 'firmware', text })),
      });
    case 'unreadable':
      return failed({
        ...parts,
        seen: 'a copy that cannot be read',
        evidence: few(differences, (text) => ({ source: 'firmware', text })),
      });
    case 'missing':
      if (!started) return unseen({ ...parts, seen: 'the guest never came to report it' });
      return failed({ ...parts, seen: 'the guest has none' });
    default:
      return outcome satisfies never;
  }
}
