import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

// Everything is a file of its own: the page's Content-Security-Policy allows nothing inline.
export default defineConfig({
  plugins: [react()],
  build: { assetsInlineLimit: 0, target: ['chrome125', 'firefox128', 'safari18'], chunkSizeWarningLimit: 1000 },
  test: { include: ['src/**/*.test.ts'] },
})
