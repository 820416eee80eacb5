import { Badge } from '@mantine/core'
import { type JobStatus, type Mode, modeText } from '../job'

const colors: Record<JobStatus, string> = { running: 'blue', completed: 'green', cancelled: 'gray', failed: 'red' }

export const StatusBadge = ({ status }: { status: JobStatus }) => (
  <span className={`status status-${colors[status] ?? 'gray'}`}>{status}</span>
)

export const ModeBadge = ({ mode }: { mode: Mode }) => (
  <Badge variant="outline" color={mode === 'real_polling' ? 'blue' : 'gray'} className="mode" tt="none">
    {modeText[mode] ?? mode}
  </Badge>
)
