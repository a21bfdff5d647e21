import { ByteSink } from '../../src/bytes/index.ts';
import { Elf64_Ehdr, Elf64_Shdr } from '../../src/spec/elf.ts';

/** A module of the kernel as far as its `.modinfo` goes. */
export function moduleElf(info: readonly string[]): Uint8Array {
  const names = '\0.modinfo\0.shstrtab\0';
  const modinfo = info.map((entry) => `${entry}\0`).join('');
  const namesAt = Elf64_Ehdr.size;
  const modinfoAt = namesAt + names.length;
  const sink = new ByteSink('le');
  const ident = new Uint8Array(16);
  ident.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  Elf64_Ehdr.write(sink, {
    e_ident: ident,
    e_type: 1,
    e_shoff: BigInt(modinfoAt + modinfo.length),
    e_ehsize: 64,
    e_shentsize: 64,
    e_shnum: 3,
    e_shstrndx: 2,
  });
  sink.latin1(names).latin1(modinfo);
  Elf64_Shdr.write(sink, {});
  Elf64_Shdr.write(sink, { sh_name: 1, ...place(modinfoAt, modinfo.length) });
  Elf64_Shdr.write(sink, { sh_name: 10, ...place(namesAt, names.length) });
  return sink.bytes();
}

function place(offset: number, size: number): { sh_offset: bigint; sh_size: bigint } {
  return { sh_offset: BigInt(offset), sh_size: BigInt(size) };
}
