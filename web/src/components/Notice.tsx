import { Alert } from '@mantine/core'
import type { ReactNode } from 'react'

const colors = { error: 'red', warning: 'yellow', info: 'blue' } as const

/** Something that whoever uses the page has to know. Screen readers say errors and warnings at once. */
export function Notice({ kind, title, children }: { kind: keyof typeof colors; title: string; children: ReactNode }) {
  return (
    <Alert
      className={`notice notice-${kind}`}
      color={colors[kind]}
      title={title}
      role={kind === 'info' ? 'status' : 'alert'}
      variant="light"
    >
      {children}
    </Alert>
  )
}
