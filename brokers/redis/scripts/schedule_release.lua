-- schedule_release: somebody serves a deployment again: what was held meanwhile is due.
-- args: owner
-- returns: how many schedules were held
-- needs: schedules
local released = 0
for _, id in ipairs(members('scheds:' .. args)) do
  local held, active = unpack(look(sched(id), 'h', 'a'))
  if number(held) then
    redis.call('HDEL', sched(id), 'h')
    if active == '1' then
      put('due', number(held), id)
      released = released + 1
    end
  end
end
return cmsgpack.pack(released)
