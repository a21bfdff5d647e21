import { struct } from '../bytes/index.ts';

// Microsoft PE/COFF specification: what is needed to tell whether a file is whole.

/** Where the DOS header says where the PE signature is. */
export const PE_LFANEW = 0x3c;
/** `PE\0\0`. */
export const PE_SIGNATURE = 0x0000_4550;

/** The signature, and the COFF file header after it; the optional header follows, then the sections. */
export const PE_FILE_HEADER = struct('PE_FILE_HEADER', 24, {
  Signature: 'u32',
  Machine: 'u16',
  NumberOfSections: 'u16',
  TimeDateStamp: 'u32',
  PointerToSymbolTable: 'u32',
  NumberOfSymbols: 'u32',
  SizeOfOptionalHeader: 'u16',
  Characteristics: 'u16',
});

export const PE_SECTION_HEADER = struct('PE_SECTION_HEADER', 40, {
  Name: 'u64',
  VirtualSize: 'u32',
  VirtualAddress: 'u32',
  SizeOfRawData: 'u32',
  PointerToRawData: 'u32',
  PointerToRelocations: 'u32',
  PointerToLinenumbers: 'u32',
  NumberOfRelocations: 'u16',
  NumberOfLinenumbers: 'u16',
  Characteristics: 'u32',
});
