// A transform for asc: a function whose doc comment starts with `@inline` is inlined. Decorators
// say the same in AssemblyScript, but are no TypeScript before functions, and formatters and
// linters would refuse the files.
import { Node } from 'assemblyscript';
import { Transform } from 'assemblyscript/transform';

const INLINE = /\/\*\*\s*(?:\*\s*)?@inline\b(?:(?!\*\/)[\s\S])*\*\/\s*(?:export\s+)?$/;

export default class InlineByComment extends Transform {
  afterParse(parser) {
    for (const source of parser.sources) {
      for (const statement of source.statements) {
        // Only functions have a signature and a body.
        if (statement.signature === undefined || statement.body == null) continue;
        const before = source.text.slice(0, statement.range.start);
        if (!INLINE.test(before.slice(-600))) continue;
        const { range } = statement.name;
        const name = Node.createIdentifierExpression('inline', range);
        statement.decorators = [
          ...(statement.decorators ?? []),
          Node.createDecorator(name, null, range),
        ];
      }
    }
  }
}
