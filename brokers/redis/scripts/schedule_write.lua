-- schedule_write: write fields of a schedule, and when it is due, in one step; it never expires.
-- args: { schedule, {field, value, ...}, {field to remove, ...}, due ms (-1: never, -2: as it was),
--         { expected generation or -1, only if new }, token of this write, who, what for the audit }
-- returns: { generation, '' }, or what hinders it: { generation that is there, 'new' | 'changed' }
-- needs: documents schedules
local id, fields, unwanted, due, rules, token, who, what = unpack(args, 1, 8)
local expected, only_new = unpack(rules)
local generation, last_token, active_before = unpack(look(sched(id), 'g', 't', 'a'))
generation = number(generation, 0)

if last_token == token then return cmsgpack.pack({ generation, '' }) end -- a repeated write
if only_new and last_token then return cmsgpack.pack({ generation, 'new' }) end
if expected >= 0 and expected ~= generation then return cmsgpack.pack({ generation, 'changed' }) end

if #fields > 0 then set_facts(sched(id), unpack(fields)) end
if #unwanted > 0 then redis.call('HDEL', sched(id), unpack(unwanted)) end
set_facts(sched(id), 't', token)
generation = count_up(sched(id), 'g', 1)
set_due(id, due)
put('scheds', now, id)
local owner, active, why = unpack(look(sched(id), 'o', 'a', 'why'))
if owner then redis.pcall('SADD', P .. 'scheds:' .. owner, id) end
note_in_audit(who, what, 'schedule', id)
if not last_token then
  schedule_happened('created', id, owner)
elseif active ~= active_before then
  schedule_happened(active == '1' and 'resumed' or 'paused', id, owner, { reason = active ~= '1' and why or nil })
elseif what ~= 'resumed' then -- its deployment was
  schedule_happened('updated', id, owner)
end
write_events()
return cmsgpack.pack({ generation, '' })
