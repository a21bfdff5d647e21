export { DebugClient, type Notice } from './client.ts';
export { Inspector, type MachineInfo, type RunControl } from './inspector.ts';
export {
  DEBUG_ERRORS,
  DEBUG_PROTOCOL,
  DebugError,
  METHODS,
  PARAMS,
  type Answerer,
  type Json,
  type Method,
} from './protocol.ts';
export { serveDebug, type DebugServer, type DebugServerOptions } from './server.ts';
export { SocketError } from './socket.ts';
