// How full an edge is, and from where on it is a matter of concern.

export type Level = 'calm' | 'amber' | 'red';

export function fillOf(queued: number, capacity: number): number {
  return capacity > 0 ? Math.min(queued / capacity, 1) : 0;
}

export function levelOf(fill: number): Level {
  return fill >= 0.85 ? 'red' : fill >= 0.6 ? 'amber' : 'calm';
}
