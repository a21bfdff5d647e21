import { ByteSink, hex, structBytes } from '../bytes/index.ts';
import {
  FDT_BEGIN_NODE,
  FDT_END,
  FDT_END_NODE,
  FDT_LAST_COMP_VERSION,
  FDT_MAGIC,
  FDT_PROP,
  FDT_SIZE_LIMIT,
  FDT_TAGSIZE,
  FDT_VERSION,
  fdt_header,
  fdt_reserve_entry,
} from '../spec/fdt.ts';
import { FdtTreeError } from './error.ts';
import { validateTree } from './names.ts';
import { resolvePhandles, type PhandleOptions } from './phandle.ts';
import { stringsBlock, type StringsBlock, type StringSharing } from './strings.ts';
import { walk, type FdtNode } from './tree.ts';

/** Physical memory that the client program must leave alone. Both in bytes; `size` is not 0. */
export interface MemReserve {
  readonly address: bigint;
  readonly size: bigint;
}

/** How a tree becomes a blob. */
export interface WriteOptions extends PhandleOptions {
  /** `boot_cpuid_phys`: `reg` of the CPU that boots. 0 if not given. */
  readonly bootCpuid?: number;
  readonly memReserve?: readonly MemReserve[];
  /** `suffix` if not given. */
  readonly strings?: StringSharing;
  /**
   * `strict` (if not given) refuses what the Devicetree Specification forbids of names, unit
   * addresses, phandles and reservations; `lax` writes a foreign tree as it is.
   */
  readonly names?: 'strict' | 'lax';
}

/**
 * The flattened tree, version 17: header, memory reservations, structure, strings, without gaps.
 * References are resolved on the way (`resolvePhandles`). The same tree gives the same bytes.
 * @throws FdtTreeError that names the path of what cannot be written.
 */
export function writeFdt(root: FdtNode, options: WriteOptions = {}): Uint8Array {
  const tree = resolvePhandles(root, options).root;
  if (options.names !== 'lax') validateTree(tree);
  if (tree.name !== '') throw new FdtTreeError('fdt/root-name', '/', `named "${tree.name}"`);
  const reservations = reserveBlock(options.memReserve ?? [], options.names === 'lax');
  const names = stringsBlock(propertyNames(tree), options.strings ?? 'suffix');
  const structure = structBlock(tree, names);
  const strings = names.bytes();

  const offMemRsvmap = fdt_header.size;
  const offDtStruct = offMemRsvmap + reservations.length;
  const offDtStrings = offDtStruct + structure.length;
  const totalsize = offDtStrings + strings.length;
  if (totalsize >= FDT_SIZE_LIMIT) {
    throw new FdtTreeError('fdt/too-large', '/', `${totalsize} bytes, the limit is 2^31`);
  }
  const header = structBytes(fdt_header, 'be', {
    magic: FDT_MAGIC,
    totalsize,
    off_dt_struct: offDtStruct,
    off_dt_strings: offDtStrings,
    off_mem_rsvmap: offMemRsvmap,
    version: FDT_VERSION,
    last_comp_version: FDT_LAST_COMP_VERSION,
    boot_cpuid_phys: options.bootCpuid ?? 0,
    size_dt_strings: strings.length,
    size_dt_struct: structure.length,
  });
  const blob = new Uint8Array(totalsize);
  blob.set(header);
  blob.set(reservations, offMemRsvmap);
  blob.set(structure, offDtStruct);
  blob.set(strings, offDtStrings);
  return blob;
}

function* propertyNames(root: FdtNode): Generator<string, void, undefined> {
  for (const { node } of walk(root)) yield* node.props.keys();
}

/** Devicetree Specification, Memory Reservation Block. */
function reserveBlock(entries: readonly MemReserve[], lax: boolean): Uint8Array {
  const sink = new ByteSink('be', (entries.length + 1) * fdt_reserve_entry.size);
  const sorted = entries.toSorted((a, b) => (a.address < b.address ? -1 : 1));
  let limit = 0n;
  for (const { address, size } of sorted) {
    const what = `/memreserve/ ${hex(address)} ${hex(size)}`;
    // An entry of size 0 ends the list for every reader, so not even a foreign one is kept.
    if (size <= 0n) throw new FdtTreeError('fdt/memreserve', what, 'empty');
    if (lax) continue;
    if (address + size > 1n << 64n) {
      throw new FdtTreeError('fdt/memreserve', what, 'beyond 64 bits');
    }
    if (address < limit) throw new FdtTreeError('fdt/memreserve', what, 'overlaps another');
    limit = address + size;
  }
  for (const entry of entries) fdt_reserve_entry.write(sink, entry);
  fdt_reserve_entry.write(sink, {});
  return sink.bytes();
}

function structBlock(root: FdtNode, names: StringsBlock): Uint8Array {
  const sink = new ByteSink('be', 4096);
  let open = 0;
  for (const { node, path, depth } of walk(root)) {
    for (; open > depth; open--) sink.u32(FDT_END_NODE);
    open = depth + 1;
    sink
      .u32(FDT_BEGIN_NODE)
      .raw(nameBytes(node.name, 'fdt/node-name', path))
      .align(FDT_TAGSIZE);
    for (const [name, value] of node.props) {
      const where = `${path}:${name}`;
      if (!(value instanceof Uint8Array)) {
        throw new FdtTreeError('fdt/unresolved', where, 'phandles not filled in');
      }
      nameBytes(name, 'fdt/property-name', where);
      sink.u32(FDT_PROP).u32(value.length).u32(names.offsetOf(name)).raw(value).align(FDT_TAGSIZE);
    }
  }
  for (; open > 0; open--) sink.u32(FDT_END_NODE);
  return sink.u32(FDT_END).bytes();
}

function nameBytes(
  name: string,
  code: 'fdt/node-name' | 'fdt/property-name',
  path: string,
): Uint8Array {
  // oxlint-disable-next-line no-control-regex -- NUL is what must not be there
  if (!/^[\u0001-\u00ff]*$/.test(name)) {
    throw new FdtTreeError(code, path, `${JSON.stringify(name)} is no Latin-1 text without NUL`);
  }
  return Buffer.from(`${name}\0`, 'latin1');
}
