import { Badge } from '@mantine/core'
import type { JobStatus, Mode } from '../job'

const colors: Record<JobStatus, string> = { running: 'blue', completed: 'green', cancelled: 'gray', failed: 'red' }

export const StatusBadge = ({ status }: { status: JobStatus }) => (
  <span className={`status status-${colors[status] ?? 'gray'}`}>{status}</span>
)

export const modeText: Record<Mode, string> = { simulated: 'Simulated', real_polling: 'Real polling' }

export const ModeBadge = ({ mode }: { mode: Mode }) => (
  <Badge variant="outline" color={mode === 'real_polling' ? 'blue' : 'gray'} className="mode" tt="none">
    {modeText[mode] ?? mode}
  </Badge>
)
