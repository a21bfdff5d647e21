import { createHash } from 'node:crypto';

import { FormatError } from '../bytes/index.ts';
import { readFdt, walk, type FdtNode } from '../fdt/index.ts';
import { describeIort, describeMcfg, describeTree, describeViot } from '../firmware/index.ts';
import type { GuestBlob } from '../guest/index.ts';
import type { DescribedFirmware, FirmwareComparison, FirmwareImages } from '../scenario/index.ts';
import {
  checkFacts,
  DEFAULT_KERNEL,
  type Facts,
  type KernelVersion,
  type Model,
} from '../topology/index.ts';

/** What QEMU writes into a tree it is given: measured on 7.2 and 11.1. */
const EDITED = ['/memory', '/chosen', '/psci', 'reservations'] as const;

/** Each image that was passed, beside the guest's copy of it. */
export function compareFirmware(
  passed: FirmwareImages,
  seen: ReadonlyMap<string, GuestBlob>,
): FirmwareComparison[] {
  const comparisons: FirmwareComparison[] = [];
  if (passed.tree !== undefined) comparisons.push(compareTree(passed.tree, seen.get('fdt')));
  for (const [signature, bytes] of passed.tables) {
    comparisons.push(compareTable(signature, bytes, seen.get(signature)));
  }
  return comparisons;
}

function compareTable(
  name: string,
  bytes: Uint8Array,
  blob: GuestBlob | undefined,
): FirmwareComparison {
  const passedSha256 = sha256(bytes);
  if (blob === undefined) {
    return { name, outcome: 'missing', differences: [], edited: [], passed: bytes, passedSha256 };
  }
  const same = blob.sha256 === passedSha256;
  return {
    name,
    outcome: same ? 'identical' : 'different',
    differences: same
      ? []
      : [
          `${bytes.length} bytes with sha256 ${passedSha256} were passed, the guest has ${blob.size} with ${blob.sha256}`,
        ],
    edited: [],
    passed: bytes,
    ...(blob.bytes === undefined ? {} : { seen: blob.bytes }),
    passedSha256,
    seenSha256: blob.sha256,
  };
}

function compareTree(bytes: Uint8Array, blob: GuestBlob | undefined): FirmwareComparison {
  const passedSha256 = sha256(bytes);
  const base = { name: 'device tree', edited: EDITED, passed: bytes, passedSha256 };
  if (blob === undefined) return { ...base, outcome: 'missing', differences: [] };
  const known = {
    ...base,
    ...(blob.bytes === undefined ? {} : { seen: blob.bytes }),
    seenSha256: blob.sha256,
  };
  if (blob.bytes === undefined) {
    const reason = `its ${blob.size} bytes did not come out of the guest`;
    return { ...known, outcome: 'unreadable', differences: [reason] };
  }
  try {
    const differences = treeDifferences(readFdt(bytes).tree, readFdt(blob.bytes).tree);
    return { ...known, outcome: differences.length === 0 ? 'identical' : 'different', differences };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return { ...known, outcome: 'unreadable', differences: [error.message] };
  }
}

/** Nodes and properties that one tree has and the other has not, or has otherwise. */
export function treeDifferences(passed: FdtNode, seen: FdtNode): string[] {
  const before = flatten(passed);
  const after = flatten(seen);
  const differences: string[] = [];
  for (const [path, value] of before) {
    const other = after.get(path);
    if (other === undefined) differences.push(`${path} is gone`);
    else if (other !== value) differences.push(`${path} is ${show(other)}, was ${show(value)}`);
  }
  for (const path of after.keys()) if (!before.has(path)) differences.push(`${path} was added`);
  return differences;
}

function show(hexText: string): string {
  if (hexText === '') return 'empty';
  return hexText.length > 48 ? `<${hexText.slice(0, 48)}…>` : `<${hexText}>`;
}

/** `path` → '' for nodes, `path property` → hex of its bytes; what the machine edits left out. */
function flatten(root: FdtNode): Map<string, string> {
  const flat = new Map<string, string>();
  for (const { node, path } of walk(root)) {
    if (/^\/(?:memory(?:@[^/]*)?|chosen|psci)(?:\/|$)/u.test(path)) continue;
    flat.set(path, '');
    for (const name of node.props.keys()) {
      flat.set(`${path} ${name}`, Buffer.from(node.bytes(name) ?? []).toString('hex'));
    }
  }
  return flat;
}

/** What the guest's copies say; of images it never showed, what was passed. */
export function describeSeen(
  model: Model,
  passed: FirmwareImages,
  seen: ReadonlyMap<string, GuestBlob>,
  release: string | undefined,
): DescribedFirmware {
  const own = (name: string): Uint8Array | undefined => seen.get(name)?.bytes;
  const fromGuest = own('fdt') !== undefined || own('VIOT') !== undefined;
  // x86 has no tree to speak of, and an arm64 guest on a tree has no tables.
  const tree = own('fdt') ?? (fromGuest ? undefined : passed.tree);
  const viot = own('VIOT') ?? (fromGuest ? undefined : passed.tables.get('VIOT'));
  const iort = own('IORT');
  const mcfg = own('MCFG');
  const from = fromGuest ? 'guest' : 'passed';
  const facts: Facts = {
    model,
    ...part('tree', tree, (bytes) => describeTree(bytes, `${from} device tree`)),
    ...part('viot', viot, (bytes) => describeViot(bytes, `${from} VIOT`)),
    ...part('iort', iort, (bytes) => describeIort(bytes, `${from} IORT`)),
    ...part('mcfg', mcfg, (bytes) => describeMcfg(bytes, `${from} MCFG`)),
    kernel: kernelOf(release) ?? model.guest.kernel ?? DEFAULT_KERNEL,
    guestPage: model.guest.pageSize,
  };
  return {
    from,
    ...(facts.tree === undefined ? {} : { tree: facts.tree }),
    ...(facts.viot === undefined ? {} : { viot: facts.viot }),
    diagnostics: checkFacts(facts),
  };
}

/** A description, or nothing when there are no bytes or they cannot be read. */
function part<K extends string, T>(
  key: K,
  bytes: Uint8Array | undefined,
  read: (bytes: Uint8Array) => T,
): Partial<Record<K, T>> {
  if (bytes === undefined) return {};
  try {
    return { [key]: read(bytes) } as Record<K, T>;
  } catch (error) {
    if (error instanceof FormatError) return {};
    throw error;
  }
}

/** `6.12.95+deb12-arm64`. */
export function kernelOf(release: string | undefined): KernelVersion | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})/u.exec(release ?? '');
  return match === null ? undefined : { major: Number(match[1]), minor: Number(match[2]) };
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
