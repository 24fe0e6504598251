// Numbers as people read them. Widths do not jump: at most four figures, tabular.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export function count(value: number): string {
  return whole.format(value);
}

/** 3.4, 240, 1.2k, 34k, 1.2M. */
export function short(value: number): string {
  if (value < 0.05) return '0';
  if (value < 9.95) return value.toFixed(1);
  if (value < 999.5) return value.toFixed(0);
  for (const [unit, size] of [['k', 1e3], ['M', 1e6], ['G', 1e9]] as const) {
    const scaled = value / size;
    if (scaled < 9.95) return scaled.toFixed(1) + unit;
    if (scaled < 999.5) return scaled.toFixed(0) + unit;
  }
  return '>1T';
}

/** A count where there is little room: 9, 240, 1.2k. */
export function few(value: number): string {
  return value < 1000 ? count(value) : short(value);
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** 00:12:41 */
export function clock(us: number): string {
  const seconds = Math.floor(us / 1e6);
  const two = (value: number) => String(value).padStart(2, '0');
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

/** 850 µs, 12 ms, 3.4 s, 2 min 5 s, 7 h 59 min */
export function duration(us: number): string {
  if (us < 1e3) return `${us.toFixed(0)} µs`;
  if (us < 1e4) return `${(us / 1e3).toFixed(1)} ms`;
  if (us < 1e6) return `${(us / 1e3).toFixed(0)} ms`;
  if (us < 6e7) return `${(us / 1e6).toFixed(1)} s`;
  if (us < 36e8) return `${Math.floor(us / 6e7)} min ${Math.floor((us / 1e6) % 60)} s`;
  return `${Math.floor(us / 36e8)} h ${Math.floor((us / 6e7) % 60)} min`;
}

/** 850 B, 12 kB, 3.4 MB */
export function bytes(size: number): string {
  for (const [unit, one] of [['GB', 1e9], ['MB', 1e6], ['kB', 1e3]] as const) {
    if (size >= 0.995 * one) return `${(size / one).toFixed(size < 9.95 * one ? 1 : 0)} ${unit}`;
  }
  return `${count(size)} B`;
}

export function sum(byFate: Record<string, number>): number {
  return Object.values(byFate).reduce((total, number) => total + number, 0);
}

/** `3 faults`, `1 fault` */
export function counted(number: number, noun: string): string {
  return `${count(number)} ${noun}${number === 1 ? '' : 's'}`;
}
