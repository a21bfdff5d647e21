/** What the core calls in TypeScript: src/emulator/core.ts. */

/** @external bus read */
export declare function busRead(pa: f64, size: u32): u32;
/** @external bus write */
export declare function busWrite(pa: f64, size: u32, value: u32): void;
/** The virtual timer's interrupt line changed. */
export declare function timerLine(level: u32): void;
/** A system register of the interrupt controller, by op0[0]:op1:CRn:CRm:op2. */
export declare function sysregRead(key: u32): u32;
/** The lower half is written. */
export declare function sysregWrite(key: u32, value: u32): void;
