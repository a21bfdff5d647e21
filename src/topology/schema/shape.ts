import { z } from 'zod';

/**
 * A map with these keys and no others.
 *
 * zod does not say which keys it would have known: they travel as the message of the issue, one
 * word each, to `validate.ts`, which makes "did you mean" of them.
 */
export function section<const S extends z.core.$ZodLooseShape>(description: string, shape: S) {
  const known = Object.keys(shape).join(' ');
  return z
    .strictObject(shape, {
      error: (issue) => (issue.code === 'unrecognized_keys' ? known : undefined),
    })
    .describe(description);
}

/** A list of `item`. */
export function list<T extends z.ZodType>(description: string, item: T) {
  return z.array(item).describe(description);
}

/** A map from the user's own names to `item`. */
export function named<T extends z.ZodType>(description: string, item: T) {
  return z.record(z.string(), item).describe(description);
}

/**
 * A map that may be abbreviated to one word, which is then the value of `key`.
 * In the JSON Schema: either form.
 */
export function abbreviated<T extends z.ZodType>(
  description: string,
  key: string,
  full: T,
  word: unknown,
) {
  const { $schema: _, ...json } = z.toJSONSchema(full, { io: 'input', unrepresentable: 'any' });
  return z
    .unknown()
    .transform((value, context): z.output<T> => {
      const isMap = typeof value === 'object' && value !== null;
      const result = full.safeParse(isMap || value === undefined ? value : { [key]: value });
      if (result.success) return result.data;
      for (const issue of result.error.issues) {
        // The word stands where the map would: its place is the place of the whole.
        const path = isMap ? issue.path : [];
        context.issues.push({ ...issue, path: [...path], input: value } as z.core.$ZodRawIssue);
      }
      return z.NEVER;
    })
    .meta({ description, anyOf: [word, json] });
}
