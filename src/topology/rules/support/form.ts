import type { FormProblem } from '../../description.ts';
import type { Finding } from '../../facts.ts';

/** What a reader of an ACPI table found wrong with its form. */
export function* formFindings(
  problems: readonly FormProblem[],
  elsewhere: RegExp,
): Generator<Finding> {
  for (const { code, severity, message, place } of problems) {
    // What a rule of its own explains better.
    if (elsewhere.test(code)) continue;
    if (severity !== 'warning') {
      yield { place, message };
      continue;
    }
    const effect = code.endsWith('/checksum')
      ? 'Linux logs "Incorrect checksum in table" and uses the table all the same.'
      : 'Linux does not look at it.';
    yield { severity, place, message, effect };
  }
}
