export { ChromeTrace } from './chrome.ts';
export { diffTraces, IGNORED, type TraceDifference, type TraceDiffOptions } from './diff.ts';
export { eventOf, readTrace, type TraceEntry } from './read.ts';
export {
  eventRecord,
  showRecord,
  TRACE_FORMAT,
  TRACE_VERSION,
  type RunEnd,
  type RunHeader,
  type TraceRecord,
} from './record.ts';
export { JsonLinesTrace, type TraceSink } from './writer.ts';
