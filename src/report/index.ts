export {
  renderDiagnostics,
  renderPlace,
  type DiagnosticOptions,
  type Sources,
} from './diagnostics.ts';
export { DIAGNOSTICS_SCHEMA, VERDICT_SCHEMA, diagnosticsJson, verdictJson } from './json.ts';
export { verdictsJunit } from './junit.ts';
export { printable, styleFor, type Style } from './style.ts';
export { verdictsTap } from './tap.ts';
export { renderVerdict, type TextOptions } from './text.ts';
export { topologyDot, topologySvg } from './graph/index.ts';
export { EXPLANATION_SCHEMA, explanationsJson, renderExplanation } from './explanation.ts';
export {
  reportIndex,
  reportPage,
  RunRecorder,
  type FirmwareText,
  type RecordedRun,
  type ReportEntry,
  type ReportInput,
} from './html/index.ts';
