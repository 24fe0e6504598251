// Pictures within values: texts that are data URIs. Lists have small ones; the whole value has them as they are.

const isPicture = (value: unknown): value is string => typeof value === 'string' && /^data:image\/(png|jpeg);base64,/.test(value);

/** The pictures within a value, in order. */
export function picturesOf(value: unknown): string[] {
  if (isPicture(value)) return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(picturesOf);
}

/** A value as text, in which pictures are marks. */
export function textOf(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (isPicture(part) ? '▣' : part)) ?? '';
}
