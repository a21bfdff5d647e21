export { resolve, type Resolved } from './resolve.ts';
export { computeCoverage, lookUpCoverage } from './coverage.ts';
