import type { Verdict } from '../../scenario/index.ts';
import { escapeMarkup as text } from '../markup.ts';
import { documentHtml } from './page.ts';

/** One of several pages. */
export interface ReportEntry {
  /** Name of the page, beside the list. */
  readonly file: string;
  readonly verdict: Verdict;
}

/** The page that leads to the pages of several boots. */
export function reportIndex(entries: readonly ReportEntry[], version: string): string {
  const failed = entries.filter(({ verdict }) => verdict.outcome === 'fail').length;
  const outcome = failed === 0 ? 'pass' : 'fail';
  const rows = entries.map(({ file, verdict }) => {
    const { topology, environment, summary, promises } = verdict;
    const kept = promises.filter((promise) => promise.outcome === 'pass').length;
    return [
      `<tr><td><span class="badge ${verdict.outcome}">${verdict.outcome === 'pass' ? 'PASS' : 'FAIL'}</span></td>`,
      `<th scope="row"><a href="${text(encodeURIComponent(file))}">${text(topology.name)}</a></th>`,
      `<td>${text(environment.backend)}</td><td class="number">${kept} of ${promises.length}</td>`,
      `<td>${text(summary)}</td></tr>`,
    ].join('');
  });
  const body = [
    '<header><div class="wrap">',
    `<div class="row"><span class="badge ${outcome}">${outcome === 'pass' ? 'PASS' : 'FAIL'}</span><h1>${entries.length} boots</h1></div>`,
    `<p class="summary">${failed === 0 ? 'All promises kept.' : `${failed} of ${entries.length} failed.`}</p>`,
    '</div></header>',
    '<main class="wrap"><section aria-label="Boots"><div class="scroll" tabindex="0" role="region" aria-label="Boots"><table class="reports"><thead><tr>',
    '<th scope="col">Verdict</th><th scope="col">Topology</th><th scope="col">Backend</th><th scope="col" class="number">Promises kept</th><th scope="col">Summary</th>',
    `</tr></thead><tbody>${rows.join('\n')}</tbody></table></div></section></main>`,
    `<footer class="wrap">viommu-topo ${text(version)}</footer>`,
  ].join('\n');
  return documentHtml(`${entries.length} boots – viommu-topo`, body);
}
