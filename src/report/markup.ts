/** What may not stand in HTML or XML, even escaped: control characters and lone surrogates. */
const FORBIDDEN =
  // oxlint-disable-next-line no-control-regex -- these are the characters XML forbids
  /[\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F\uFFFE\uFFFF]|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text of a guest or a file, safe as content and as a quoted attribute of HTML, SVG and XML. */
export function escapeMarkup(text: string): string {
  return text
    .replaceAll(FORBIDDEN, '\uFFFD')
    .replaceAll(/[&<>"']/g, (char) => ENTITIES[char] ?? char);
}

/** A value as JSON that can stand in a `<script>` element: nothing in it ends or opens one. */
export function scriptJson(value: unknown): string {
  return (
    JSON.stringify(value)
      .replaceAll('<', '\\u003c')
      .replaceAll('>', '\\u003e')
      .replaceAll('&', '\\u0026')
      // Line ends for older parsers of scripts.
      .replaceAll('\u2028', '\\u2028')
      .replaceAll('\u2029', '\\u2029')
  );
}
