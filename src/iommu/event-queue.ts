import type { DeviceQueue } from '../virtio/index.ts';
import { VIRTIO_IOMMU_FAULT } from '../spec/virtio-iommu.ts';
import { encodeReport } from './faults.ts';
import type { IommuState } from './state.ts';

const record = new Uint8Array(VIRTIO_IOMMU_FAULT.size);

/** Why `sendReports` stopped. */
export type SendOutcome =
  /** Nothing is left to send, or reports are held back. */
  | 'idle'
  /** The driver has no buffer. */
  | 'no-buffer'
  /** As many buffers as the queue holds were looked at: to be called again. */
  | 'more';

/**
 * Writes pending reports to the buffers of the event queue (VIRTIO 1.3, "Fault reporting"). Linux
 * fills the queue without a notification: the ring is looked at whenever there is a report.
 */
export function sendReports(state: IommuState, queue: DeviceQueue): SendOutcome {
  const { faults, settings, counters } = state;
  if (settings.holdReports && !state.requestSeen) return 'idle';
  for (let i = 0; i < queue.size; i++) {
    const report = faults.first();
    if (report === undefined) return 'idle';
    const chain = queue.pop();
    if (chain === undefined) {
      // In `wait` they stay for the next buffer.
      if (settings.faultsWithoutBuffer === 'drop') counters.reportsDropped += faults.clear();
      return 'no-buffer';
    }
    if (chain.writableLength === 0) {
      queue.push(chain, 0);
      continue;
    }
    encodeReport(report, record);
    // A short buffer gets the start of the record; it never goes on in the next one.
    const length = Math.min(record.length, chain.writableLength);
    queue.push(chain, chain.writer.write(record, 0, length));
    faults.removeFirst();
    counters.reports++;
  }
  return faults.size > 0 ? 'more' : 'idle';
}
