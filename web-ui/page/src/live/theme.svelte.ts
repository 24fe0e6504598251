// Light or dark: what the reader chose, else what the system prefers.

type Name = 'light' | 'dark';
const KEY = 'eddyline-theme';
const system = matchMedia('(prefers-color-scheme: dark)');

class Theme {
  chosen = $state<Name | null>(null);
  preferred = $state<Name>(system.matches ? 'dark' : 'light');
  name: Name = $derived(this.chosen ?? this.preferred);

  constructor() {
    const kept = localStorage.getItem(KEY);
    if (kept === 'light' || kept === 'dark') this.chosen = kept;
    system.addEventListener('change', () => (this.preferred = system.matches ? 'dark' : 'light'));
  }

  toggle() {
    this.chosen = this.name === 'dark' ? 'light' : 'dark';
    localStorage.setItem(KEY, this.chosen);
  }
}

export const theme = new Theme();

/** The present value of a colour of the palette, for what is drawn on a canvas. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
