import '@mantine/core/styles.css'
import 'uplot/dist/uPlot.min.css'
import './page.css'
import { createTheme, MantineProvider } from '@mantine/core'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { BrowserRouter } from 'react-router'
import { App } from './app'
import { Notice } from './components/Notice'
import { loadConfig } from './config'
import { Failure } from './errors'

const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? ''

const theme = createTheme({
  primaryColor: 'blue',
  primaryShade: { light: 8, dark: 8 },
  autoContrast: true,
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif',
  defaultRadius: 'md',
  cursorType: 'pointer',
})

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (attempts, error) => error instanceof Failure && error.passing && attempts < 2,
      staleTime: 2000,
      networkMode: 'always', // what can be reached is found out by asking: the database may be on this machine
    },
    mutations: { networkMode: 'always' },
  },
})

const root = createRoot(document.getElementById('root') as HTMLElement)
const show = (content: React.ReactNode) =>
  root.render(
    <StrictMode>
      <MantineProvider theme={theme} defaultColorScheme="auto" getStyleNonce={() => nonce}>
        <QueryClientProvider client={queries}>
          <BrowserRouter>{content}</BrowserRouter>
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  )

try {
  show(<App config={await loadConfig()} />)
} catch (error) {
  show(
    <main className="alone">
      <Notice kind="error" title="The page cannot begin">
        It cannot read its settings from the server that it came from. Load it anew; if that does not help, whoever runs
        the page finds the reason in the logs of the console ({error instanceof Error ? error.message : String(error)}).
      </Notice>
    </main>,
  )
}
