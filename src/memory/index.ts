export { addressOf, HALF, hiOf, loOf } from './address.ts';
export {
  ACCESS_READ,
  ACCESS_WRITE,
  DMA_FAILED,
  piecesOf,
  ResolvedSpace,
  type DmaFault,
  type DmaSpace,
  type HostWindow,
} from './space.ts';
export { GuestMemory, type GuestWindow } from './guest-memory.ts';
export { DirectDma, type DoorbellSink } from './direct.ts';
export {
  TRANSLATED,
  TRANSLATION_FAULT,
  TRANSLATION_MSI,
  TranslatedDma,
  type Translator,
} from './translated.ts';
