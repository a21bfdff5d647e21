import { doorbellOf, expectedEndpoints, guestDevice } from '../expected.ts';
import { failed, judged, passed, unseen, type Item, type Promised } from '../promise.ts';

/** Devices that have MSI-X and raise interrupts as soon as they are used. */
const INTERRUPTING = new Set(['virtio-blk', 'virtio-net', 'nvme', 'e1000e']);

export const msiWorks: Promised = {
  id: 'msi-works',
  title: 'each device with a doorbell gets its interrupts as MSIs',
  explanation:
    'When the host bridge has a doorbell, its devices use MSI-X and the interrupts arrive (a disk that was read shows it, too). A wrong msi-map makes Linux fall back to INTx without a word, a wrong doorbell loses the interrupts.',
  judge: (model, observation) =>
    expectedEndpoints(model).flatMap((expected): Item[] => {
      const doorbell = doorbellOf(model, expected.endpoint);
      const { device: options } = expected.endpoint;
      if (doorbell === undefined || !expected.works) return [];
      if (!INTERRUPTING.has(options?.kind ?? '') || options?.options['vectors'] === 0) return [];
      const parts = {
        subject: expected.label,
        endpoint: expected.id,
        expected: `MSIs through ${doorbell.id}`,
      };
      const interrupts = guestDevice(observation, expected.endpoint)?.interrupts;
      if (interrupts === undefined) {
        return [unseen({ ...parts, seen: 'the guest did not come to list interrupts' })];
      }
      const { kind, vectors, count } = interrupts;
      if (kind === 'none') return [failed({ ...parts, seen: 'no MSI set up: INTx or nothing' })];
      const words = `${vectors} ${kind === 'msi-x' ? 'MSI-X' : 'MSI'} vectors`;
      if (count === undefined) return [passed({ ...parts, seen: words })];
      return [judged(count > 0, { ...parts, seen: `${words}, ${count} interrupts` })];
    }),
};
