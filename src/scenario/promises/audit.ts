import { contains, hex, showRange } from '../../bytes/index.ts';
import type { AuditRecord, Stray } from '../access-audit.ts';
import { doorbellOf, expectedEndpoints } from '../expected.ts';
import { few, judged, type Item, type Promised } from '../promise.ts';

function strayItem(
  audit: AuditRecord,
  count: number,
  strays: readonly Stray[],
  expected: string,
): Item {
  return judged(count === 0, {
    subject: 'all endpoints',
    expected,
    seen:
      count === 0
        ? `${audit.accesses} accesses looked at, all right`
        : `${count} of ${audit.accesses} accesses looked at`,
    evidence: few(strays, ({ event, why }) => ({
      source: 'device',
      text: `${event.text ?? `${event.kind} (event ${event.order})`}: ${why}`,
    })),
  });
}

export const accessesMapped: Promised = {
  id: 'accesses-mapped',
  title: 'every access goes through a live mapping of its own domain',
  explanation:
    'A second bookkeeping, made of the ATTACH, MAP and UNMAP requests alone, knows what is mapped at each moment; every translated access must lie in it, with the right to read or write. Only our own devices tell enough for that; elsewhere nothing is promised.',
  judge: (_model, { device: { audit } }) =>
    audit === undefined || audit.accesses === 0
      ? []
      : [strayItem(audit, audit.strayCount, audit.strays, 'no access outside its mappings')],
};

export const reservedUntouched: Promised = {
  id: 'reserved-untouched',
  title: 'no endpoint accesses a reserved region',
  explanation:
    'No translated access lies in a region that the topology reserves for its endpoint. Judged where the topology has such a region and the devices are our own.',
  judge: (model, { device: { audit } }) =>
    audit === undefined ||
    audit.accesses === 0 ||
    !model.reserved.some(({ type }) => type === 'reserved')
      ? []
      : [strayItem(audit, audit.trespassCount, audit.trespasses, 'no access inside a region')],
};

export const msiThroughDoorbell: Promised = {
  id: 'msi-through-doorbell',
  title: 'the MSIs of each endpoint arrive at the doorbell of its host bridge',
  explanation:
    'The address of every MSI, after the translation where the guest maps the doorbell by itself, is in the page that the topology names. Judged for endpoints that sent one, where the devices are our own.',
  judge: (model, { device: { audit } }) =>
    expectedEndpoints(model).flatMap((expected): Item[] => {
      const doorbell = doorbellOf(model, expected.endpoint);
      const seen = audit?.doorbells.find(
        ({ viommu, endpoint }) => viommu === expected.viommu && endpoint === expected.endpointId,
      );
      if (doorbell === undefined || seen === undefined) return [];
      const { addresses } = seen;
      return [
        judged(
          addresses.every((address) => contains(doorbell.window, address)),
          {
            subject: expected.label,
            endpoint: expected.id,
            expected: `${doorbell.id} (${showRange(doorbell.window)})`,
            seen: addresses.map((address) => hex(address)).join(', '),
          },
        ),
      ];
    }),
};
