import { hex } from '../../bytes/index.ts';
import type { DeviceRecord, EndpointRecord } from '../../scenario/index.ts';
import type { Model } from '../../topology/index.ts';
import { escapeMarkup as text } from '../markup.ts';
import { endpointNames } from './names.ts';

/** Rows of the table; the busiest endpoints are in it. */
const ROWS_MAX = 200;

const COLUMNS = [
  ['probe', 'Probed'],
  ['attach', 'Attached'],
  ['detach', 'Detached'],
  ['map', 'Maps'],
  ['unmap', 'Unmaps'],
  ['translated', 'Translated'],
  ['bypassed', 'Bypassed'],
  ['msi', 'MSIs'],
  ['fault', 'Faults'],
] as const;

function total(record: EndpointRecord): number {
  return COLUMNS.reduce((sum, [column]) => sum + record[column].count, 0);
}

/** How often each endpoint did what, counted over the whole run. */
export function countersHtml(model: Model, device: DeviceRecord): string {
  const busiest = device.endpoints.toSorted((a, b) => total(b) - total(a)).slice(0, ROWS_MAX);
  if (busiest.length === 0) return '<p class="note">No vIOMMU told of anything.</p>';
  const nameOf = endpointNames(model);
  const rows = busiest
    .toSorted((a, b) => (a.viommu ?? '').localeCompare(b.viommu ?? '') || a.endpoint - b.endpoint)
    .map((record) => {
      const { name } = nameOf(record.viommu ?? '', record.endpoint);
      const cells = COLUMNS.map(([column]) => cell(record[column].count, column));
      return `<tr><th scope="row">${text(name)}</th><td>${text(record.viommu ?? '–')}</td><td>${hex(record.endpoint)}</td>${cells.join('')}</tr>`;
    });
  const rest = device.endpoints.length - busiest.length;
  const { eventCount, faultCount, failureCount, audit } = device;
  const sentences = [
    `${many(eventCount, 'event')}, ${many(faultCount, 'fault')}, ${many(failureCount, 'request')} refused.`,
    ...(audit === undefined
      ? []
      : [
          `Second bookkeeping: ${many(audit.accesses, 'access', 'accesses')} looked at, ${audit.strayCount} without a mapping, ${audit.trespassCount} in a reserved region.`,
        ]),
    ...(rest > 0 ? [`${rest} endpoints with fewer events are not listed.`] : []),
  ];
  return [
    '<div class="scroll" tabindex="0" role="region" aria-label="Counters by endpoint"><table class="counters"><thead><tr><th scope="col">Endpoint</th><th scope="col">vIOMMU</th><th scope="col">ID</th>',
    ...COLUMNS.map(([, title]) => `<th scope="col" class="number">${title}</th>`),
    `</tr></thead><tbody>${rows.join('\n')}</tbody></table></div>`,
    `<p class="note">${sentences.join(' ')}</p>`,
  ].join('');
}

function cell(count: number, column: string): string {
  const kind = count === 0 ? 'number zero' : `number has-${column}`;
  return `<td class="${kind}">${count.toLocaleString('en')}</td>`;
}

function many(count: number, one: string, more = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : more}`;
}
