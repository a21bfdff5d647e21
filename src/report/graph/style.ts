/**
 * Colours of the drawing, by class. Text is laid out a little larger than it is drawn, so that it
 * still fits where the first fonts of the list are missing and a wider one stands in.
 */
export const GRAPH_STYLE = `
svg.topology {
  color-scheme: light dark; background: var(--paper); --paper: #ffffff;
  --ink: #1c2733; --dim: #566270; --box: #f4f6f8; --box-line: #c9d1da;
  --endpoint: #ffffff; --endpoint-line: #3b6ea8; --rest: #f4f6f8; --rest-line: #9aa5b1;
  --viommu: #e3edf9; --viommu-line: #1f5fa8; --doorbell: #f1ebfa; --doorbell-line: #7a4fb5;
  --region: #fdf3dc; --region-line: #9a6a0c; --memory: #e6f4ea; --memory-line: #2c7a4b;
  --bypass: #fdeee4; --bypass-line: #b64d14;
}
@media (prefers-color-scheme: dark) {
  svg.topology {
    --paper: #11161c; --ink: #e6ebf1; --dim: #a9b4c0; --box: #1a2129; --box-line: #3a4653;
    --endpoint: #212b36; --endpoint-line: #6ba3e0; --rest: #1a2129; --rest-line: #6b7885;
    --viommu: #1c3350; --viommu-line: #7db4f0; --doorbell: #2e2541; --doorbell-line: #b795ec;
    --region: #3a2f14; --region-line: #e0b04a; --memory: #17331f; --memory-line: #6cc48d;
    --bypass: #3b2417; --bypass-line: #f09a62;
  }
}
.topology text { fill: var(--ink); font-family: Helvetica, Arial, "Liberation Sans", sans-serif; font-size: 11.5px; }
.topology text[font-size="10.00"] { fill: var(--dim); font-size: 9.5px; }
.topology .bus > path, .topology .bus > polygon { fill: var(--box); stroke: var(--box-line); }
.topology .endpoint > path { fill: var(--endpoint); stroke: var(--endpoint-line); }
.topology .rest > path, .topology .empty > path, .topology .more > path { fill: var(--rest); stroke: var(--rest-line); }
.topology .bypass > path { fill: var(--bypass); stroke: var(--bypass-line); }
.topology .viommu > path { fill: var(--viommu); stroke: var(--viommu-line); }
.topology .doorbell > path { fill: var(--doorbell); stroke: var(--doorbell-line); }
.topology .region > path { fill: var(--region); stroke: var(--region-line); }
.topology .memory > path { fill: var(--memory); stroke: var(--memory-line); }
.topology .edge > path { fill: none; }
.topology .edge.translated > * { stroke: var(--endpoint-line); }
.topology .edge.bypass > path { fill: none; }
.topology .edge.bypass > * { stroke: var(--bypass-line); }
.topology .edge.memory > * { stroke: var(--memory-line); }
.topology .edge.memory > path { fill: none; }
.topology .edge.msi > * { stroke: var(--doorbell-line); }
.topology .edge.region > * { stroke: var(--region-line); }
.topology .edge.region > path { fill: none; }
.topology .edge.translated > polygon { fill: var(--endpoint-line); }
.topology .edge.bypass > polygon { fill: var(--bypass-line); }
.topology .edge.memory > polygon { fill: var(--memory-line); }
.topology .edge.msi > polygon { fill: var(--doorbell-line); }
`;
