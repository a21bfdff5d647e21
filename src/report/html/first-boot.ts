import type { Observation } from '../../scenario/index.ts';
import type { Model } from '../../topology/index.ts';
import { escapeMarkup as text } from '../markup.ts';
import { countersHtml } from './counters.ts';
import { firmwareHtml } from './firmware.ts';
import { environmentHtml } from './verdict.ts';

/** What is known of the boot before a reboot; its promises stand with those of the second. */
export function firstBootHtml(model: Model, before: Observation): string {
  const { ending, device, firmware, environment } = before;
  return [
    `<p class="note">The guest rebooted, and the boot after that is what the rest of this page is about. Items of the verdict that begin with “first boot” are about this one.</p>`,
    `<p><b>${text(ending.kind)}</b>: ${text(ending.detail)}</p>`,
    '<h3>Its counters</h3>',
    countersHtml(model, device),
    '<h3>Its firmware</h3>',
    firmwareHtml(firmware, []),
    '<h3>Its environment</h3>',
    environmentHtml(environment),
  ].join('\n');
}
