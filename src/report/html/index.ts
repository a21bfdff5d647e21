export { reportPage, type ReportInput } from './page.ts';
export { RunRecorder, type RecordedRun } from './recorder.ts';
export type { FirmwareText } from './firmware.ts';
export { reportIndex, type ReportEntry } from './list.ts';
