-- rows: of runs, what a list shows.
-- args: { {run, ...}, most bytes of an outcome that is given along; 0: none is }
-- returns: { {status, task, route, flow run, meta, retries, crashes, take-overs, started ms, due ms, ticket, outcome,
--             name}, ... } absent parts false; false for a run of which there is no record
-- needs: blocks
local runs, most = unpack(args)
local rows = {}
for i, id in ipairs(runs) do
  local status, task, route, flow_run, meta, retries, crashes, take_overs, started, due, ticket, name =
    unpack(blocks.look(id, 's', 't', 'q', 'f', 'm', 'a', 'c', 'v', 'z', 'j', 'e', 'r'))
  if status then
    local waits_until = status == 'D' and score('delayed', id)
    if type(waits_until) == 'string' then due = waits_until end
    local outcome = most > 0 and blocks.look_at_outcome(id, most)
    rows[i] = { status, task, route, flow_run, meta, retries, crashes, take_overs, started, due, ticket, outcome, name }
  else
    rows[i] = false
  end
end
return cmsgpack.pack(rows)
