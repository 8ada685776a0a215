-- read: what is known of runs.
-- args: {run, ...}; status '?' where unknown
-- returns: { {run, status, outcome, retries, crashes, task, flow run, started ms, take-overs, due ms}, ... }, of the first
--   runs only when their outcomes are large: at least one, and the others are asked for again
-- needs: blocks
local MOST_BYTES = 1048576
local rows, size = {}, 0
for i, id in ipairs(args) do
  if size > MOST_BYTES then break end
  local status, outcome, retries, crashes, task, flow_run, started, take_overs =
    unpack(blocks.look(id, 's', 'o', 'a', 'c', 't', 'f', 'z', 'v'))
  local due = status == 'D' and score('delayed', id)
  rows[i] = { id, status or '?', outcome, number(retries, 0), number(crashes, 0), task, flow_run, number(started, 0),
    number(take_overs, 0), type(due) == 'string' and number(due, 0) or 0 }
  size = size + #(outcome or '')
end
return cmsgpack.pack(rows)
