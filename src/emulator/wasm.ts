/**
 * WebAssembly as far as it is used here. The global has no types without those of a browser, and
 * this project compiles without them.
 */

/** Compiled code; opaque. */
export interface WasmModule {
  readonly [Symbol.toStringTag]: string;
}

export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

interface Namespace {
  compile(bytes: Uint8Array): Promise<WasmModule>;
  readonly Memory: new (limits: { initial: number; maximum: number }) => WasmMemory;
  readonly Instance: new (
    module: WasmModule,
    imports: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  ) => { readonly exports: Readonly<Record<string, unknown>> };
}

export const wasm: Namespace = (globalThis as unknown as { WebAssembly: Namespace }).WebAssembly;
