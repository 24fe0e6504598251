import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [svelte()],
  build: { target: 'es2022', sourcemap: false },
  // While working on the page: `npm run dev`, beside any running workflow on the usual address.
  server: { proxy: { '/api': process.env.EDDYLINE_URL ?? 'http://127.0.0.1:8080' } },
});
