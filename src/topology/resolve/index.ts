export { resolve } from './resolve.ts';
export { isHotplugged } from './checks.ts';
export { computeCoverage, lookUpCoverage } from './coverage.ts';
