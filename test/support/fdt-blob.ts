import { cells, empty, FdtNode, str, writeFdt } from '../../src/fdt/index.ts';
import { fdt_header } from '../../src/spec/fdt.ts';

type HeaderField = keyof typeof fdt_header.offsets;

/** A valid blob and ways to damage a copy of it. */
export class BlobEditor {
  readonly bytes: Uint8Array;
  readonly #data: DataView;

  /** Edits `blob` itself when told so, else a copy. */
  constructor(blob: Uint8Array, inPlace = false) {
    this.bytes = inPlace ? blob : blob.slice();
    this.#data = new DataView(this.bytes.buffer);
  }

  header(field: HeaderField): number {
    return this.u32(fdt_header.offsets[field]);
  }

  setHeader(field: HeaderField, value: number): this {
    return this.set(fdt_header.offsets[field], value);
  }

  u32(offset: number): number {
    return this.#data.getUint32(offset);
  }

  set(offset: number, ...values: readonly number[]): this {
    return this.setAll(offset, values);
  }

  setAll(offset: number, values: readonly number[]): this {
    for (const [index, value] of values.entries()) this.#data.setUint32(offset + index * 4, value);
    return this;
  }

  /** Offset of the structure block. */
  get structure(): number {
    return this.header('off_dt_struct');
  }

  /** The same header and reservations with another structure block (and the strings after it). */
  withStructure(tokens: readonly number[], extra = 0): Uint8Array {
    const strings = this.bytes.slice(this.header('off_dt_strings'));
    const size = tokens.length * 4;
    const start = this.structure;
    const out = new Uint8Array(start + size + extra + strings.length);
    out.set(this.bytes.subarray(0, start));
    out.set(strings, start + size + extra);
    new BlobEditor(out, true)
      .setAll(start, tokens)
      .setHeader('size_dt_struct', size)
      .setHeader('off_dt_strings', start + size + extra)
      .setHeader('totalsize', out.length);
    return out;
  }
}

/** `/ { compatible = "a,b"; x = <0>; n { phandle = <1>; }; m { phandle = <2>; }; };` */
export function sampleTree(): FdtNode {
  return new FdtNode('', { compatible: str('a,b'), x: cells(0) }, [
    new FdtNode('n', { phandle: cells(1), 'dma-coherent': empty() }),
    new FdtNode('m', { phandle: cells(2) }),
  ]);
}

export function sampleBlob(): BlobEditor {
  return new BlobEditor(
    writeFdt(sampleTree(), { memReserve: [{ address: 0x1000n, size: 0x1000n }] }),
  );
}
