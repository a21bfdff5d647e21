import { hex } from '../../../bytes/index.ts';
import type { Json, Method } from '../../../debug/index.ts';
import { printable } from '../../../report/index.ts';

type Fields = Readonly<Record<string, Json | undefined>>;

/** An answer for a person. */
export function showAnswer(method: Method, answer: Json): string {
  const text = lines(method, answer).map(printable).join('\n');
  return text === '' ? '' : `${text}\n`;
}

function lines(method: Method, answer: Json): string[] {
  const it = fields(answer);
  switch (method) {
    case 'hello':
    case 'status':
    case 'pause':
    case 'continue':
      return [statusLine(it)];
    case 'list':
      return [
        ...rows(it['viommus'], viommuLine),
        ...rows(it['endpoints'], endpointLine),
        ...rows(it['domains'], domainLine),
      ];
    case 'stat':
      return rows(answer, (one) => statLine(one));
    case 'dump':
      return dumpLines(it);
    case 'translate':
      return translateLines(it);
    case 'print':
      return [`tracing: ${word(it['print'])}`];
    case 'fault':
      return [faultLine(it)];
    case 'break':
      return [breakLine(it)];
    case 'breaks':
      return Array.isArray(answer) && answer.length === 0 ? ['no breaks'] : rows(answer, breakLine);
    case 'delete':
      return [`deleted: ${breakLine(it)}`];
    default:
      return method satisfies never;
  }
}

/** A notice for a person. */
export function showNotice(method: string, params: Json): string {
  const it = fields(params);
  if (method === 'trace')
    return printable(`${word(it['viommu'])}: ${word(it['line'])}`).concat('\n');
  if (method === 'missed') return `${word(it['count'])} lines were missed\n`;
  if (method === 'stopped') return `${stopLine(params)}\n`;
  return method === 'ended' ? 'the run ended\n' : '';
}

/** Where and why a guest stopped. */
export function stopLine(stop: Json | undefined): string {
  const it = fields(stop ?? {});
  const at = it['time'] === undefined ? '' : ` at ${seconds(it['time'])} s`;
  if (it['reason'] !== 'break') return `stopped (${word(it['reason'])})${at}`;
  return printable(
    `stopped by break ${word(it['break'])}${at}: ${word(it['viommu'])}: ${word(it['event'])}`,
  );
}

function statusLine(it: Fields): string {
  const where =
    it['state'] === 'stopped'
      ? stopLine(it['stop'])
      : `${word(it['state'])}${it['time'] === undefined ? '' : `, ${seconds(it['time'])} s`}`;
  return `${word(it['topology'])} on ${word(it['backend'])}: ${where}`;
}

function viommuLine(it: Fields): string {
  const bypass = it['bypass'] === true ? 'on' : 'off';
  return `${word(it['viommu'])}: ${word(it['endpoints'])} endpoints, ${word(it['domains'])} domains, ${word(it['mappings'])} mappings, bypass ${bypass}, input range ${range(it['inputRange'])}`;
}

function endpointLine(it: Fields): string {
  const name = it['name'] === undefined ? '' : ` ${word(it['name'])}`;
  const where = it['domain'] === undefined ? 'unattached' : `domain ${word(it['domain'])}`;
  const regions = items(it['reserved']).map(
    (one) => `, ${word(one['type'])} ${range(one['range'])}`,
  );
  return `${word(it['viommu'])} endpoint ${id(it['endpoint'])}${name}: ${where}, ${word(it['path'])}${regions.join('')}`;
}

function domainLine(it: Fields): string {
  const bypass = it['bypass'] === true ? ' (bypass)' : '';
  const members = (Array.isArray(it['endpoints']) ? it['endpoints'] : []).map(id).join(' ');
  return `${word(it['viommu'])} domain ${word(it['domain'])}${bypass}: ${word(it['mappings'])} mappings, endpoints ${members}`;
}

function statLine(it: Fields): string {
  const counters = Object.entries(it).filter(([name, value]) => name !== 'viommu' && value !== 0);
  return `${word(it['viommu'])}: ${counters.map(([name, value]) => `${name} ${word(value)}`).join(', ')}`;
}

function dumpLines(it: Fields): string[] {
  const shown = items(it['mappings']);
  const members = (Array.isArray(it['endpoints']) ? it['endpoints'] : []).map(id).join(' ');
  const rest = it['next'] === undefined ? [] : [`  ... more from ${word(it['next'])}`];
  return [
    `${word(it['viommu'])} domain ${word(it['domain'])}: ${word(it['total'])} mappings, endpoints ${members}`,
    ...shown.map((one) => `  ${range(one)} -> ${word(one['physical'])} ${flags(one['flags'])}`),
    ...rest,
  ];
}

function translateLines(it: Fields): string[] {
  const what = `${word(it['access'])} of endpoint ${id(it['endpoint'])} at ${word(it['iova'])}`;
  if (it['fault'] !== undefined) {
    const at = it['fault'] === it['iova'] ? '' : ` from ${word(it['fault'])} on`;
    return [`${what}: a fault${at} (${word(it['path'])})`];
  }
  return items(it['pieces']).map(
    (one) =>
      `${what}: ${word(one['iova'])}+${word(one['length'])} -> ${word(one['physical'])} (${word(one['how'])}, ${word(it['path'])})`,
  );
}

function faultLine(it: Fields): string {
  const who = `endpoint ${id(it['endpoint'])}`;
  if (it['kind'] === 'record') {
    return `a record of ${who} at ${word(it['address'])} ${it['queued'] === true ? 'is queued' : 'was dropped: too many wait'}`;
  }
  const what = it['kind'] === 'map' ? 'MAPs for' : 'accesses of';
  return `the next ${word(it['count'])} ${what} ${who} fail`;
}

function breakLine(it: Fields): string {
  const { id: number, on, n, viommu, endpoint, address, hits } = it;
  const parts = [
    n === undefined ? '' : ` number ${word(n)}`,
    endpoint === undefined ? '' : ` of endpoint ${id(endpoint)}`,
    viommu === undefined ? '' : ` (${word(viommu)})`,
    address === undefined ? '' : ` ${range(address)}`,
    hits === 0 ? '' : `, met ${word(hits)} times`,
  ];
  return `break ${word(number)}: ${word(on)}${parts.join('')}`;
}

function rows(value: Json | undefined, show: (one: Fields) => string): string[] {
  return items(value).map(show);
}

function items(value: Json | undefined): Fields[] {
  return Array.isArray(value) ? value.map(fields) : [];
}

function fields(value: Json): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : {};
}

function word(value: Json | undefined): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? '?');
}

function id(value: Json | undefined): string {
  return typeof value === 'number' ? hex(value) : word(value);
}

function range(value: Json | undefined): string {
  const { start, end } = fields(value ?? {});
  return `${word(start)}-${word(end)}`;
}

function flags(value: Json | undefined): string {
  const bits = typeof value === 'number' ? value : 0;
  return ['R', 'W', 'M'].map((letter, bit) => ((bits >> bit) & 1 ? letter : '-')).join('');
}

function seconds(value: Json): string {
  return typeof value === 'string' ? (Number(BigInt(value)) / 1e9).toFixed(6) : word(value);
}
