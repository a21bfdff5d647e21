import type { Cause, CauseFinder } from '../cause.ts';

/** The guest runs on other firmware than it was given: nothing else need be looked for. */
export const delivery: CauseFinder = ({ observation }) =>
  observation.firmware.flatMap(({ name, outcome, differences }): Cause[] => {
    if (outcome === 'identical') return [];
    if (outcome === 'missing' && !observation.guest.started) return [];
    const said = {
      different: 'is not the one that was passed',
      unreadable: 'cannot be read',
      missing: 'is missing',
    }[outcome];
    const [first] = differences;
    return [
      {
        id: 'firmware-not-delivered',
        message: `the ${name} that the guest sees ${said}${first === undefined ? '' : `: ${first}`}`,
        endpoints: [],
        evidence: differences.slice(0, 5).map((text) => ({ source: 'firmware', text })),
      },
    ];
  });
