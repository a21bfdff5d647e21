import { hex } from '../bytes/index.ts';
import type { Asker, Conclusion, Explanation, Step, StepMark } from '../topology/index.ts';
import { renderDiagnostics, renderPlace, type Sources } from './diagnostics.ts';
import { printable, styleFor, type Style } from './style.ts';

/** Version of the JSON form of an explanation; grows when a reader of an older one would break. */
export const EXPLANATION_SCHEMA = 1;

const TITLES: Readonly<Record<Step['part'], string>> = {
  requester: 'the requester',
  'device-tree': 'the device tree',
  viot: 'the VIOT',
  viommu: 'the vIOMMU',
  msi: 'MSIs',
  iova: 'the address',
};

const SIGNS: Readonly<Record<StepMark, string>> = { ok: '+', no: '-', stop: 'x', note: ' ' };

/** An explanation as a person reads it: steps under their headings, then what comes of them. */
export function renderExplanation(
  explanation: Explanation,
  sources: Sources,
  { color }: { readonly color: boolean },
): string {
  const style = styleFor(color);
  const lines: string[] = [style.bold(printable(explanation.asker.label))];
  let part: Step['part'] | undefined;
  for (const step of explanation.steps) {
    if (step.part !== part) lines.push('', style.bold(TITLES[step.part]));
    part = step.part;
    lines.push(...stepLines(step, style));
  }
  lines.push('');
  for (const { source, fate, text } of explanation.conclusions) {
    const from = source === 'viot' ? 'by VIOT' : 'by the device tree';
    const colour = fate === 'translated' ? style.green : style.yellow;
    lines.push(`${style.bold(colour(`${from}: ${fate}`))}: ${printable(text)}.`);
  }
  const { address } = explanation;
  if (address !== undefined) {
    lines.push(`${style.bold(`at ${hex(address.address)}`)}: ${printable(address.text)}.`);
  }
  const found = renderDiagnostics(explanation.diagnostics, sources, { color, limit: 10 });
  return `${lines.join('\n')}\n${found === '' ? '' : `\n${found}`}`;
}

function stepLines({ mark, text, place }: Step, style: Style): string[] {
  const colour = { ok: style.green, no: style.dim, stop: style.red, note: style.dim }[mark];
  const first = `  ${colour(SIGNS[mark])} ${printable(text)}`;
  return place === undefined ? [first] : [first, `      ${style.dim(renderPlace(place))}`];
}

/** Explanations as JSON; 64-bit addresses are hexadecimal strings. */
export function explanationsJson(explanations: readonly Explanation[]): string {
  const value = {
    schema: EXPLANATION_SCHEMA,
    explanations: explanations.map(({ asker, steps, conclusions, address, diagnostics }) => ({
      endpoint: askerJson(asker),
      steps,
      conclusions: conclusions.map(conclusionJson),
      ...(address === undefined
        ? {}
        : { address: { value: hex(address.address), text: address.text } }),
      diagnostics,
    })),
  };
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function askerJson({ label, id, location }: Asker): object {
  const place =
    location.kind === 'pci'
      ? location
      : {
          kind: location.kind,
          ...(location.base === undefined ? {} : { base: hex(location.base) }),
          ...(location.path === undefined ? {} : { path: location.path }),
        };
  return { label, ...(id === undefined ? {} : { id }), location: place };
}

function conclusionJson(conclusion: Conclusion): object {
  return { ...conclusion, translated: conclusion.fate === 'translated' };
}
