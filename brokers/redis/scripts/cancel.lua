#!lua flags=allow-oom
-- cancel: end runs that have not started at once, ask running ones to stop.
-- args: { {run, ...}, ttl ms, text, whether those that have begun are left alone }
-- returns: { status before, ... }: '?' unknown, a settled status: too late; otherwise the wish is durable
--   of one that is left alone: R
-- needs: cancelling block_ends chains once
local runs, ttl, text, only_waiting = unpack(args, 1, 4)
local before = {}
for at, id in ipairs(runs) do
  local waits_in_block = pieces_of.add(id)
  local begun = not waits_in_block and only_waiting and has_begun(id, look(record(id), 's')[1])
  before[at] = waits_in_block or begun and 'R' or cancel_run(id, ttl, CANCELLED, text)
end
pieces_of.end_added('K', because(CANCELLED, text), ttl)
close_script()
return answer(before)
