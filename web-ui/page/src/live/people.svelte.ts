// The questions that wait for people: fetched while somebody looks at them, answered one at a time.

import type { Question } from './contract';
import { textOf } from './pictures';
import { steer } from './steer.svelte';

class People {
  questions = $state.raw<Question[]>([]);
  /** Why the last answer was not taken. */
  refused = $state('');
  private asking = false;

  async look() {
    if (this.asking) return;
    this.asking = true;
    try {
      const answer = await fetch('/api/questions');
      if (answer.ok) this.questions = ((await answer.json()) as { questions: Question[] }).questions;
    } catch {
      // The header says that the server does not answer; what was last known stays.
    } finally {
      this.asking = false;
    }
  }

  /** The whole value that a question is about, pictures as large as they are. */
  async whole({ node, number }: Question): Promise<unknown> {
    const answer = await fetch(`/api/questions/${node}/${number}`);
    return ((await answer.json()) as { value?: unknown }).value;
  }

  /** Whether the answer was taken. */
  async answer({ node, number }: Question, answer: unknown): Promise<boolean> {
    this.refused = '';
    try {
      const reply = await steer.post(`/api/questions/${node}/${number}`, answer);
      if (!reply.ok) this.refused = ((await reply.json()) as { what: string }).what;
    } catch {
      this.refused = 'The server did not answer; try again once it is back.';
    }
    const taken = !this.refused;
    if (taken) this.questions = this.questions.filter((other) => other.node !== node || other.number !== number);
    else await this.look();
    return taken;
  }
}

export const people = new People();

/** What a candidate says that the value does not: only that is worth reading. */
export function difference(candidate: unknown, value: unknown): string {
  const isRecord = (x: unknown): x is Record<string, unknown> => typeof x === 'object' && x !== null && !Array.isArray(x);
  if (!isRecord(candidate) || !isRecord(value)) return inWords(candidate);
  const other = Object.entries(candidate).filter(([field, now]) => JSON.stringify(now) !== JSON.stringify(value[field]));
  return other.length ? other.map(([field, now]) => `${field}: ${inWords(now)}`).join(', ') : 'as it is';
}

/** A value without the quotes and brackets that only a program needs. */
export function inWords(value: unknown): string {
  if (Array.isArray(value) && value.length === 1) return inWords(value[0]);
  return typeof value === 'string' ? value : textOf(value);
}
