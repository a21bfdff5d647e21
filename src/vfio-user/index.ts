export { serve, type ServeOptions, type VfioUserServer } from './serve.ts';
export { servedFunctions, type ServedFunction } from './functions.ts';
export type { ServerReport, ServerStats } from './server.ts';
export type { ProblemCode, ServerProblem } from './problem.ts';
export type { ServerSetup, SetupContext, SetupFunction, SetupModule } from './thread.ts';
export { ServerUnavailable } from './unavailable.ts';
export { serverObstacle } from './obstacle.ts';
export { GONE, isTapName, NO_FRAME, openTap, Tap, TapUnavailable } from './tap.ts';
export type { TapSys } from './tap-sys.ts';
