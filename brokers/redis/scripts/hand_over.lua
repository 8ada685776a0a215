#!lua flags=allow-oom
-- hand_over: give a call that one consumer holds to another one, under the ticket that it has; nothing else changes.
-- args: { run, ticket, consumer that holds it, the other one, whether it is handed over though it is to be cancelled }
-- returns: the call as fetch returns it; nothing where the ticket is stale, the run has ended or is to be cancelled, or
--   somebody else holds it. Repeated, it is the same call again.
-- needs: tickets blocks
local id, ticket, holder, other, even_cancelled = unpack(args, 1, 5)

local function handed_over()
  local route, entry, member = split_ticket(ticket)
  local status, current, task, body, retries, crashes, flow_run, meta, take_overs, upstreams =
    unpack(look(P .. 'r:' .. id, 's', 'e', 't', 'b', 'a', 'c', 'f', 'm', 'v', 'u'))
  if current ~= ticket or entry == '' or member or SETTLED[status] then return {} end
  if status == 'X' and not even_cancelled then return {} end
  local now_with = owner_of(ticket)
  if now_with == holder then
    redis.call('XCLAIM', stream(route), GROUP, other, 0, entry, 'JUSTID')
  elseif now_with ~= other then
    return {}
  end
  return { ticket, id, task, body or '', number(retries, 0), number(crashes, 0), flow_run, meta, number(take_overs, 0) + 1,
    upstreams }
end

return cmsgpack.pack(handed_over())
