import { defineConfig } from "vite";

// The page is built into build/; pack.mjs makes dist/ of it, which is what the binary gets.
export default defineConfig({
  build: {
    outDir: "build",
    target: "es2022",
    sourcemap: false,
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
});
