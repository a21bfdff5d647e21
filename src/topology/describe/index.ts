export { describe, type Descriptions } from './describe.ts';
export { bridgesTo, deviceIdBase, hostPath } from './keys.ts';
