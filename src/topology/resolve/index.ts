export { resolve } from './resolve.ts';
export { computeCoverage, lookUpCoverage } from './coverage.ts';
