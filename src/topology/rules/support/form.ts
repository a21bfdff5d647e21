import type { FormProblem } from '../../description.ts';
import type { Finding } from '../../facts.ts';

/** Forms that no kernel minds: reserved bytes, the revision, bytes that nothing reads. */
const HARMLESS =
  /\/(revision|reserved|bytes-after-nodes|bytes-after-table|node-longer|node-offset|null|oem)$/;

/** What a reader of an ACPI table found wrong with its form. */
export function* formFindings(
  problems: readonly FormProblem[],
  elsewhere: RegExp,
): Generator<Finding> {
  for (const { code, message, place } of problems) {
    // What a rule of its own explains better.
    if (elsewhere.test(code)) continue;
    if (HARMLESS.test(code)) {
      yield { severity: 'warning', place, message, effect: 'Linux does not look at it.' };
    } else if (code.endsWith('/checksum')) {
      const effect = 'Linux logs "Incorrect checksum in table" and uses the table all the same.';
      yield { severity: 'warning', place, message, effect };
    } else {
      yield { place, message };
    }
  }
}
